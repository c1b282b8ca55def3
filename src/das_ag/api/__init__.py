"""The Python interface: makes, scores and shows images in a program or notebook. `das_ag` exports its names."""
