"""One study, one outcome: its results or the reason why there are none, and a status that programs act on."""
