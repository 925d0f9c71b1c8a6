"""One file a kind of wire: a wire that is free to use, profiles of what hangs on it, and what they say in peace.

wire(base, **more)  settings of a wire that nobody uses
profiles()          device -> profile
apart(n)            the key that tells the n-th device apart, for its DeviceSettings
GOOD                signal -> what it says
EVERY_S             a period that suits it
FAULTS              which faults its far end knows: silent, garbage, delay (it is asked and may be slow)
WRITES              its devices take commands
SHARED              why two drivers may use it at once; empty if they may not
"""
