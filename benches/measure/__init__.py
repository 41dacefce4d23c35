"""What benches/compare measures with, and how it shows it."""
