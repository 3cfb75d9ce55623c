"""Reference figures of the NCAP study, most of them measured with the published code.

docs/systems/ncap.md, "Reference figures". Rows hold the figures that no second row or picture uses.
"""

from __future__ import annotations

UNTRAINED = {3: 344.2, 5: 798.4, 7: 902.1, 9: 908.8, 11: 904.4, 13: 915.0}
"""joints -> mean return of the untrained circuit over ten start states"""
PER_SEED = (794.1, 807.0, 803.4, 801.5, 790.0, 799.3, 795.4, 797.0, 797.3, 798.8)
"""return of the untrained circuit with five joints from the start states 0 to 9"""

PERIODS = (20, 30, 40, 50, 60, 70, 80, 100, 120, 160, 200)
"""periods of the head oscillator that are scanned, control steps"""
RETURNS_BY_PERIOD = {
    5: (230, 497, 615, 699, 801, 804, 798, 772, 770, 790, 766),
    11: (649, 931, 962, 937, 905, 939, 957, 959, 939, 914, 896),
    13: (766, 952, 954, 926, 916, 959, 960, 956, 934, 927, 896),
}
"""joints -> return of the untrained circuit at each of `PERIODS`"""

EVOLUTION_STRATEGY = {15: 831, 30: 849, 45: 859, 60: 865, 75: 869, 90: 871, 120: 872}
"""epoch -> return of one run of the published evolution strategy"""
EVOLVED_RETURN = 872.0
"""return of the evolution strategy's weights at its end"""
PLATEAU = 865.0
"""return of the published code's plateau, where every torque saturates"""
CEILING = 927
"""return of the best weights that are known, on held-out start states"""
TRANSFER = {3: 542, 7: 946, 9: 950, 11: 954, 13: 955}
"""joints -> return of weights evolved with five joints in a body of so many"""
