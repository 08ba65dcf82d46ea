-- The parts of a landscape's picture: axes, level lines, SVG.
local axis = require("fsam.landscape.axis")
local contour = require("fsam.landscape.contour")
local picture = require("fsam.landscape.picture")
local svg = require("fsam.landscape.svg")

describe("the picture", function()
  it("has round numbers on its axes", function()
    local function ticks(low, high, count)
      local list, form = axis.ticks(low, high, count)
      for i, x in ipairs(list) do
        list[i] = form:format(x)
      end
      return table.concat(list, " ")
    end
    assert.equal("-0.2 -0.1 0.0 0.1 0.2", ticks(-0.2, 0.2, 5))
    assert.equal("0 5 10 15", ticks(-0.3, 17.9, 5))
    assert.equal("0.04 0.06 0.08", ticks(0.031, 0.0999, 4))
    assert.equal("0 2e+06", ticks(-1, 2.5e6, 2))
    assert.equal(1, select(2, axis.range({ { 0 / 0, 0.5 }, { 1, math.huge } })))
  end)

  it("draws level lines where a function reaches the level, around what is above", function()
    local values = {}
    for i = 1, 21 do
      values[i] = {}
      for j = 1, 21 do
        values[i][j] = math.sqrt((i - 11) ^ 2 + (j - 11) ^ 2)
      end
    end
    local function place(column, row)
      return column - 11, row - 11
    end
    local polygons, lines = contour.above(values, 6, place)
    local length, area = 0, 0
    for _, line in ipairs(lines) do
      for _, p in ipairs(line) do
        assert.near(6, math.sqrt(p[1] ^ 2 + p[2] ^ 2), 0.03)
      end
      length = length + math.sqrt((line[1][1] - line[2][1]) ^ 2 + (line[1][2] - line[2][2]) ^ 2)
    end
    for _, polygon in ipairs(polygons) do
      for k, a in ipairs(polygon) do
        local b = polygon[k % #polygon + 1]
        area = area + (a[1] * b[2] - a[2] * b[1]) / 2
      end
    end
    assert.near(2 * math.pi * 6, length, 0.2)
    assert.near(20 * 20 - math.pi * 36, area, 1)
    values[11][11] = 0 / 0 -- four cells less
    assert.equal(#lines, #select(2, contour.above(values, 6, place)))
    local whole = contour.above(values, -math.huge, place)
    assert.equal(20 + 2, #whole) -- a run per row; two rows are broken in the middle
  end)

  it("escapes text, writes short numbers, and is well-formed", function()
    assert.equal("0.5 2 0 -1.25", ("%s %s %s %s"):format(svg.number(0.5), svg.number(2),
      svg.number(-0.001), svg.number(-1.254)))
    local line = { at = { -1, 0, 1 }, loss = { 0 / 0, 1, 2 } }
    local text = picture.draw({ gradient = line, random = { line, line },
      plane = { at = { -1, 0, 1 }, loss = { { 3, 2, 3 }, { 2, 1, 2 }, { 3, 0 / 0, 3 } } } },
      { title = "a < b & \"c\"", subtitle = "x" })
    assert.matches("a &lt; b &amp; &quot;c&quot;", text, 1, true)
    assert.is_nil(text:find("nan", 1, true))
    local depth = 0
    for close, tag, empty in text:gmatch("<(/?)(%a+)[^<>]-(/?)>") do
      assert.is_string(tag)
      depth = depth + (close == "/" and -1 or empty == "/" and 0 or 1)
      assert.is_true(depth >= 0)
    end
    assert.equal(0, depth)
  end)
end)
