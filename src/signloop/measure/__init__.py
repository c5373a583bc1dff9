"""Labels and truth enter, numbers leave: detection, signs, classification, calibration, the gate."""
