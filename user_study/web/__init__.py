"""The application: routes, middleware, sessions, templates and static files."""
