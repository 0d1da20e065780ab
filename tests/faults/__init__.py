"""What can go wrong around a run, made to happen on purpose: ``make soak`` tries everything, ``make test`` a part."""
