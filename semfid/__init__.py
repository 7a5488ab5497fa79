"""semfid: does a super-resolved image still mean the same as the photo it came from?"""

__version__ = "0.1.0"
