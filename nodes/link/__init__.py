"""Links: named places in a flow where wires meet."""
