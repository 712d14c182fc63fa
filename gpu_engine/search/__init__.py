"""Questions to the bounds: is it proved at this radius, and up to which radius?"""
