"""The formulas, a module a subject. Pure; all of them by name in `gateway.indicators.book`."""
