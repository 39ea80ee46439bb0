"""What bench/run is made of. bench/README.md says where to start reading."""
