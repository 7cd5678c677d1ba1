"""The verbs of the queue over HTTP: who may do what, what is shown of it, and the routes."""
