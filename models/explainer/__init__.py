"""Explainer: from an alarm and the data around it to sentences in which every number is true."""
