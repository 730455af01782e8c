"""Independent reference implementations; none imports the package."""
