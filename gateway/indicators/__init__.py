"""What the values mean: formulas over committed windows, thresholds, alarms, violations. Pure but for one reader."""
