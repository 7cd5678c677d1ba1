"""`jobtable demo`: real work in a folder of its own, ended in under a minute, that explains the product by doing it.

`plan` decides which jobs there are and how each shall end · `folder` lays out what they need · `play` puts the rows in,
runs a processor and watches the table · `report` compares what became of them with the plan. `files/` is what the user
finds in the folder afterwards: handlers to read and to change.
"""
