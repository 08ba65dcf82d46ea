--- Where values on a grid reach a level: regions to fill and lines between them, with straight
-- edges inside each cell (marching squares). Owns: this geometry. Leaves to others: levels and
-- colours (picture.lua).

local axis = require("fsam.landscape.axis")

local M = {}

-- The part of a cell where the value is at least `level`: a polygon, and those of its edges that
-- are no edges of the cell. Corners { x, y, value } go around the cell.
local function part(corners, level)
  local polygon, lines, leaving = {}, {}, nil
  local entering
  for i, a in ipairs(corners) do
    local b = corners[i % 4 + 1]
    if a[3] >= level then
      polygon[#polygon + 1] = a
    end
    if (a[3] >= level) ~= (b[3] >= level) then
      local share = (level - a[3]) / (b[3] - a[3])
      local p = { a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2]) }
      polygon[#polygon + 1] = p
      if a[3] >= level then
        leaving = p
      elseif leaving then
        lines[#lines + 1], leaving = { leaving, p }, nil
      else
        entering = p
      end
    end
  end
  if leaving then
    lines[#lines + 1] = { leaving, entering }
  end
  return polygon, lines
end

-- The corners of the cell between columns j, j + 1 and rows i, i + 1; nil where a value is missing.
local function cell(values, place, i, j)
  local corners = {}
  for k, at in ipairs({ { 0, 0 }, { 0, 1 }, { 1, 1 }, { 1, 0 } }) do
    local row, column = i + at[1], j + at[2]
    local value = values[row][column]
    if not axis.is_finite(value) then
      return nil
    end
    local x, y = place(column, row)
    corners[k] = { x, y, value }
  end
  return corners
end

--- The region where values are at least `level`, and its border inside the grid.
-- @tparam table values rows of numbers; cells with one that is not finite are left out
-- @tparam number level
-- @tparam function place fn(column, row) → x, y
-- @treturn table polygons: lists of { x, y }; whole cells in a row are one
-- @treturn table lines: pairs of { x, y }
function M.above(values, level, place)
  local polygons, lines = {}, {}
  for i = 1, #values - 1 do
    local strip -- the polygon of whole cells that ends at this column
    for j = 1, #values[i] - 1 do
      local corners = cell(values, place, i, j)
      local polygon, edges = {}, {}
      if corners then
        polygon, edges = part(corners, level)
      end
      local whole = #polygon == 4 and #edges == 0
      if whole and strip then
        strip[2], strip[3] = polygon[2], polygon[3]
      elseif #polygon > 0 then
        polygons[#polygons + 1] = polygon
      end
      strip = whole and (strip or polygon) or nil
      for _, edge in ipairs(edges) do
        lines[#lines + 1] = edge
      end
    end
  end
  return polygons, lines
end

return M
