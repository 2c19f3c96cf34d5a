"""System: pages about the gateway itself, its connections and its accounts.

They run in the browser over the API: a login's new cookie must be set by an answer to the browser.
"""
