"""The exercises: solutions, and the wrong solutions that students write, with the hints they get."""
