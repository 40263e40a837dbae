import notes
from behave import then, when


@when('"{text}" is noted')
def note(context, text):
    notes.add(text)


@then("there are {count:d} notes")
def count_notes(context, count):
    assert len(notes.all_notes()) == count, notes.all_notes()
