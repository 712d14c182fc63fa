"""Parts of the tightness audit: least-volume planes by linear programming, with certified gaps. See `tightness_lp`."""
