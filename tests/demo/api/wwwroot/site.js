async function showPeople() {
  const people = await (await fetch('/api/people')).json();
  document.querySelector('#people').replaceChildren(...people.map((person) => {
    const row = document.createElement('tr');
    for (const text of [person.name, person.email, person.role, person.orders]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
}

function listen() {
  const source = new EventSource('/api/events');
  const types = ['hello', 'person-created', 'person-updated', 'person-deleted', 'person-expired',
    'order-created', 'order-cancelled', 'order-processed'];
  for (const type of types) {
    source.addEventListener(type, (event) => {
      const item = document.createElement('li');
      item.textContent = `${type} ${event.data}`;
      document.querySelector('#events').prepend(item);
      showPeople();
    });
  }
}

navigator.serviceWorker?.register('/sw.js');
showPeople();
listen();
