"""Everything that knows Triton: finding and starting it, describing a host to it, and calling it.

The only package that imports tritonclient.
"""
