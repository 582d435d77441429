"""The audit drawer: who intervened where, when, with which words and what came of it."""
