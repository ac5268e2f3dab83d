'use strict';
(() => {
	const form = document.getElementById('filter');
	const words = document.getElementById('words');
	const count = document.getElementById('count');
	const boxes = [...form.querySelectorAll('input[type=checkbox]')];
	const files = [...document.querySelectorAll('section.file')].map(section => {
		const head = section.querySelector('h3').textContent.toLowerCase() + ' ';
		return { section, rows: [...section.querySelectorAll('.row')].map(row => ({ row, text: head, ready: false })) };
	});
	const red = new Map([...document.querySelectorAll('details.red')].map(one => [one.id, one]));
	const total = files.reduce((sum, file) => sum + file.rows.length, 0);

	/* Looked at when first needed: what is not to be seen is not laid out before. */
	function textOf(entry) {
		if (!entry.ready) {
			entry.text += [...entry.row.children].slice(1).map(part => part.textContent).join(' ').toLowerCase();
			entry.ready = true;
		}
		return entry.text;
	}

	function apply() {
		const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
		const outcomes = new Set(boxes.filter(box => box.checked).map(box => box.value));
		let shown = 0;

		for (const { section, rows } of files) {
			let here = 0;
			for (const entry of rows) {
				const fits = outcomes.has(entry.row.dataset.outcome) && (wanted.length === 0 || wanted.every(word => textOf(entry).includes(word)));
				const link = entry.row.querySelector('a.title');

				entry.row.hidden = !fits;
				here += fits;
				if (link)
					red.get(link.hash.slice(1)).hidden = !fits;
			}
			section.hidden = here === 0;
			shown += here;
		}
		document.getElementById('none').hidden = shown > 0 || total === 0;
		count.textContent = shown === total ? `${total} tests` : `${shown} of ${total} tests`;
	}

	/* A link of the timeline may lead to what the filter hides, or to what is folded. */
	function reveal() {
		const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));

		if (!target)
			return;
		if (target.hidden || target.closest('[hidden]')) {
			words.value = '';
			boxes.forEach(box => { box.checked = true; });
			apply();
		}
		if (target.localName === 'details')
			target.open = true;
		target.scrollIntoView();
	}

	function copy(event) {
		const button = event.target.closest('button.copy');
		const code = button?.parentElement.querySelector('code');

		if (!code)
			return;
		const done = () => {
			button.textContent = 'Copied';
			setTimeout(() => { button.textContent = 'Copy'; }, 1500);
		};
		const select = () => getSelection().selectAllChildren(code);
		if (navigator.clipboard)
			navigator.clipboard.writeText(code.textContent).then(done, select);
		else
			select();
	}

	form.hidden = false;
	document.querySelectorAll('button.copy').forEach(button => { button.hidden = false; });
	form.addEventListener('submit', event => event.preventDefault());
	form.addEventListener('input', apply);
	addEventListener('hashchange', reveal);
	addEventListener('click', copy);
	addEventListener('keydown', event => {
		const writes = /^(input|textarea|select)$/.test(event.target.localName) && event.target.type !== 'checkbox';

		if (event.key === '/' && !writes && !event.ctrlKey && !event.metaKey && !event.altKey) {
			event.preventDefault();
			words.focus();
		} else if (event.key === 'Escape' && event.target === words) {
			words.value = '';
			apply();
		}
	});
	apply();
	reveal();
})();
