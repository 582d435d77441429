"""The demo agent: a scripted program that speaks ACP like any other agent. It needs no key, no model and no network."""
