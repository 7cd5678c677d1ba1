"""`jobtable top`: what goes on, live in a terminal, and keys to steer it.

    reading   what is read of the table, and how often      knows no screen
    lines     what is read, as lines of texts               knows no screen
    steering  what a key changes, and the question before   knows no screen
    clerk     the thread that talks to the database
    asking    whether the database answers
    listing   lines on the screen, one of them selected
    layout    where the lists are, their columns, and the head
    dialogs   a question, a page of text
    texts     what such pages say
    job       one job and its live log
    app       the screen with everything, and its keys

The screen never waits for the database: a clerk in a thread of its own reads and writes, and while the database is away
what was read last stays, with a word about it. Rows are hostile: every text comes through `shown.visible`, and none of
it is ever read as markup.
"""
