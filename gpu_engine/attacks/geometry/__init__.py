"""How an attack moves inside an input set: one file a kind of set, behind one abstract base."""
