"""The loader, and one module per warehouse behind one small protocol."""
