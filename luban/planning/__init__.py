"""The forecast: what a run will take, measured on a rehearsal of it, before the first step is trained."""
