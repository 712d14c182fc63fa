"""A second opinion: every bound derived again, one neuron and one time step at a time, slowly and obviously.

Written from the equations of POPQORN (Ko et al. 2019) alone; it shares no code with any engine. A network is unrolled
into a list of scalar equations (`unrolling`, `cells`), and every method is one loop over that list. It never says VALID
of a network: only the kernel does.
"""
