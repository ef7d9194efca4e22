"""How a cascade is tiled: loop nest, tile shapes, bindings, overlap, splits; no hardware numbers."""
