"""Alarms: the list an operator works with; all of it runs in the browser, over the API."""
