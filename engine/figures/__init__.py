"""Every picture, one file each: data in, figure out. Slow to import (matplotlib), so who draws imports it then."""
