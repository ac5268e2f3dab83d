import { Routes } from '@angular/router';
import { Dashboard } from './pages/dashboard';
import { Events } from './pages/events';
import { Files } from './pages/files';
import { Login } from './pages/login';
import { Orders } from './pages/orders';
import { People } from './pages/people';
import { PersonPage } from './pages/person';
import { Roles } from './pages/roles';
import { loggedIn } from './session';

export const routes: Routes = [
  { path: 'login', component: Login, title: 'Log in' },
  {
    path: '',
    canActivate: [loggedIn],
    children: [
      { path: '', pathMatch: 'full', redirectTo: 'dashboard' },
      { path: 'dashboard', component: Dashboard, title: 'Dashboard' },
      { path: 'people', component: People, title: 'People' },
      { path: 'people/:id', component: PersonPage, title: 'Person' },
      { path: 'roles', component: Roles, title: 'Roles' },
      { path: 'orders', component: Orders, title: 'Orders' },
      { path: 'files', component: Files, title: 'Files' },
      { path: 'events', component: Events, title: 'Live events' },
    ],
  },
  { path: '**', redirectTo: 'dashboard' },
];
