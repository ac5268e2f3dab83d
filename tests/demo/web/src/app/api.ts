import { HttpClient, HttpErrorResponse, HttpInterceptorFn } from '@angular/common/http';
import { Injectable, inject } from '@angular/core';

export const API = 'http://localhost:5555';

export interface CurrentUser { id: number; userName: string; }
export interface Role { id: number; name: string; people: number; }
export interface Product { id: number; name: string; priceCents: number; }
export interface Upload { id: number; fileName: string; contentType: string; size: number; personId: number | null; }
export interface OrderLine { productId: number; quantity: number; }

export interface Person {
  id: number;
  name: string;
  email: string;
  roleId: number;
  role: string;
  orders: number;
  expiresAt: string | null;
}

export interface Order {
  id: number;
  number: string;
  personId: number;
  status: 'Pending' | 'Processed' | 'Cancelled';
  totalCents: number | null;
  lines: OrderLine[];
}

/** The login is a cookie of the API, which has another origin than the page. */
export const sendCookies: HttpInterceptorFn = (request, next) => next(request.clone({ withCredentials: true }));

/** What the API's refusal means to a user. */
export function explain(error: unknown): string {
  const status = error instanceof HttpErrorResponse ? error.status : 0;
  switch (status) {
    case 0: return 'The server does not answer.';
    case 400: return 'Something in the form is not valid.';
    case 401: return 'Unknown user or wrong password.';
    case 404: return 'It is not there any more.';
    case 409: return 'This is taken already, or something else still needs it.';
    default: return `The server answered ${status}.`;
  }
}

@Injectable({ providedIn: 'root' })
export class Api {
  private readonly http = inject(HttpClient);

  me() { return this.http.get<CurrentUser>(`${API}/api/auth/me`); }
  login(userName: string, password: string) {
    return this.http.post<CurrentUser>(`${API}/api/auth/login`, { userName, password });
  }
  logout() { return this.http.post(`${API}/api/auth/logout`, null); }

  people(search = '') { return this.http.get<Person[]>(`${API}/api/people`, { params: { search } }); }
  person(id: number) { return this.http.get<Person>(`${API}/api/people/${id}`); }
  addPerson(person: { name: string; email: string; roleId: number }) {
    return this.http.post<Person>(`${API}/api/people`, person);
  }
  removePerson(id: number) { return this.http.delete(`${API}/api/people/${id}`); }

  roles() { return this.http.get<Role[]>(`${API}/api/roles`); }
  addRole(name: string) { return this.http.post<Role>(`${API}/api/roles`, { name }); }
  renameRole(id: number, name: string) { return this.http.put(`${API}/api/roles/${id}`, { name }); }
  removeRole(id: number) { return this.http.delete(`${API}/api/roles/${id}`); }

  products() { return this.http.get<Product[]>(`${API}/api/products`); }

  orders(personId?: number) {
    return this.http.get<Order[]>(`${API}/api/orders`, { params: personId === undefined ? {} : { personId } });
  }
  addOrder(order: { number: string; personId: number; lines: OrderLine[] }) {
    return this.http.post<Order>(`${API}/api/orders`, order);
  }
  cancelOrder(id: number) { return this.http.post(`${API}/api/orders/${id}/cancel`, null); }

  uploads() { return this.http.get<Upload[]>(`${API}/api/uploads`); }
  upload(file: File, personId?: number) {
    const form = new FormData();
    form.append('file', file);
    if (personId !== undefined) {
      form.append('personId', String(personId));
    }
    return this.http.post<Upload>(`${API}/api/uploads`, form);
  }
  removeUpload(id: number) { return this.http.delete(`${API}/api/uploads/${id}`); }
}
