"""Networks to take home: written into a folder of their own, and loaded from it without a store or a study."""

from engine.exporting.export_folder import FORMATS, export_network
from engine.exporting.exported import load_exported

__all__ = ["FORMATS", "export_network", "load_exported"]
