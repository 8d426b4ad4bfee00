"""One module a tab, and the forms and views that tabs share: read the form, call a room, draw the result."""
