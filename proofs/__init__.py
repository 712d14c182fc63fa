"""The mathematics room: lemmas, their derivations, and the normative documents."""
