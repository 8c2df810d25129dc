"""Packs a user's own files into the npz that `model add` takes."""
