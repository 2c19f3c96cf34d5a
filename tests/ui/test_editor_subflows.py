"""What the editor cannot edit yet it keeps: subflows and bypasses outlive a flow that is opened."""

from __future__ import annotations

from gateway.flow.document import Document
from tests.flow.test_subflow import changed
from ui.editor.patch import diff
from ui.editor.tree import document_of, tree_of


def test_subflows_and_bypasses_outlive_the_editor() -> None:
    text = changed("  log: {type", "  calm: {type: filter.quality, disabled: bypass}\n  log: {type")
    document = Document.parse(text)
    tree = tree_of(document)
    assert document_of(tree) == document
    assert document_of(tree).text() == document.text(), "with the comments inside subflows"
    other = tree_of(Document.parse(text.replace("default: 80", "default: 81")))
    assert {(one.section, one.id, one.field) for one in diff(tree, other)} == {
        ("subflows", "hot", "parameters")
    }
