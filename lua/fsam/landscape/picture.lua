--- The picture of a landscape: losses along the gradient, along random directions, and on a plane.
--
-- Owns: the layout. It draws the table that report.lua writes as JSON.

local axis = require("fsam.landscape.axis")
local contour = require("fsam.landscape.contour")
local svg = require("fsam.landscape.svg")

local M = {}

local WIDTH, HEIGHT = 1160, 420
local SIDE, TOP = 270, 96 -- of a panel
local INK, GREY, FRAME, GRID = "#222222", "#666666", "#999999", "#e6e6e6"
local LINES = { "#1f5a96", "#d1662b", "#4b8b3b", "#8a4f9e", "#b0902f", "#3a8f95" }
-- Colours of the plane from the lowest loss to the highest.
local RAMP = { { 20, 42, 92 }, { 33, 96, 140 }, { 84, 152, 158 }, { 170, 201, 165 },
  { 243, 236, 194 } }
local BANDS = 10

-- The colour at a share from 0 to 1 of the ramp.
local function colour(share)
  local at = share * (#RAMP - 1)
  local i = math.min(math.floor(at), #RAMP - 2)
  local a, b, mix = RAMP[i + 1], RAMP[i + 2], at - i
  local rgb = {}
  for k = 1, 3 do
    rgb[k] = math.floor(a[k] + mix * (b[k] - a[k]) + 0.5)
  end
  return ("#%02x%02x%02x"):format(unpack(rgb))
end

-- A number with a minus sign instead of a hyphen.
local function tick(form, x)
  return (form:format(x):gsub("^%-", "−"))
end

-- A panel's frame, ticks and labels. o: left, title, x_label, y_label, x, y (ranges { low, high }).
-- Returns functions from values to pixels.
local function panel(canvas, o)
  local function x_of(x)
    return o.left + (x - o.x[1]) / (o.x[2] - o.x[1]) * SIDE
  end
  local function y_of(y)
    return TOP + SIDE - (y - o.y[1]) / (o.y[2] - o.y[1]) * SIDE
  end
  local bottom = TOP + SIDE
  canvas:text(o.left, TOP - 12, o.title, { size = 13, weight = "600", fill = INK })
  local ticks, form = axis.ticks(o.x[1], o.x[2], 5)
  for _, x in ipairs(ticks) do
    local path = { { x_of(x), TOP }, { x_of(x), bottom } }
    canvas:draw("path", { d = svg.path(path), stroke = GRID })
    canvas:text(x_of(x), bottom + 16, tick(form, x), { anchor = "middle" })
  end
  ticks, form = axis.ticks(o.y[1], o.y[2], 6)
  for _, y in ipairs(ticks) do
    local path = { { o.left, y_of(y) }, { o.left + SIDE, y_of(y) } }
    canvas:draw("path", { d = svg.path(path), stroke = GRID })
    canvas:text(o.left - 6, y_of(y) + 4, tick(form, y), { anchor = "end" })
  end
  canvas:text(o.left + SIDE / 2, bottom + 36, o.x_label, { anchor = "middle", fill = GREY })
  canvas:text(o.left - 44, TOP + SIDE / 2, o.y_label,
    { anchor = "middle", fill = GREY, turn = -90 })
  return x_of, y_of
end

local function frame(canvas, left)
  canvas:draw("rect", { x = left, y = TOP, width = SIDE, height = SIDE, fill = "none",
    stroke = FRAME })
end

-- A little more than the values, so that no line lies on the frame.
local function padded(low, high)
  local room = high > low and 0.05 * (high - low) or math.max(0.1 * math.abs(high), 1e-3)
  return { low - room, high + room }
end

-- Curves over one axis; places without a finite loss are gaps.
local function curves(canvas, left, title, x_label, lines)
  local losses = {}
  for i, line in ipairs(lines) do
    losses[i] = line.loss
  end
  local at = lines[1].at
  local x_of, y_of = panel(canvas, { left = left, title = title, x_label = x_label,
    y_label = "mean loss (nats per sample)", x = { at[1], at[#at] },
    y = padded(axis.range(losses)) })
  canvas:draw("path", { d = svg.path({ { x_of(0), TOP }, { x_of(0), TOP + SIDE } }),
    stroke = FRAME, stroke_dasharray = "3 3" })
  for i, line in ipairs(lines) do
    local stretch, d = {}, {} -- points without a gap between them; paths
    for k = 1, #at + 1 do
      local loss = line.loss[k]
      if loss and axis.is_finite(loss) then
        stretch[#stretch + 1] = { x_of(at[k]), y_of(loss) }
      elseif #stretch > 0 then
        d[#d + 1], stretch = svg.path(stretch), {}
      end
    end
    canvas:draw("path", { d = table.concat(d), fill = "none", stroke_width = 1.8,
      stroke = LINES[(i - 1) % #LINES + 1], stroke_linejoin = "round" })
    if #lines > 1 then
      canvas:text(left + SIDE / 2, TOP + 4 + 15 * i, "direction " .. i,
        { anchor = "middle", fill = LINES[(i - 1) % #LINES + 1] })
    end
  end
  canvas:draw("circle", { cx = x_of(0), cy = y_of(lines[1].loss[(#at + 1) / 2]), r = 3.5,
    fill = INK })
  frame(canvas, left)
end

local function levels_of(plane)
  local low, high = axis.range(plane.loss)
  local levels, form = axis.ticks(low, high, BANDS)
  return levels, form
end

-- Band k lies between levels k and k + 1; band 0 below the first. The bar names the levels.
local function colour_bar(canvas, left, levels, form)
  local height = SIDE / (#levels + 1)
  for k = 0, #levels do
    canvas:draw("rect", { x = left, y = TOP + SIDE - (k + 1) * height, width = 14,
      height = height + 0.3, fill = colour(#levels > 0 and k / #levels or 0) })
  end
  for k, level in ipairs(levels) do
    canvas:text(left + 20, TOP + SIDE - k * height + 4, tick(form, level), {})
  end
  canvas:draw("rect", { x = left, y = TOP, width = 14, height = SIDE, fill = "none",
    stroke = FRAME })
  canvas:text(left + 66, TOP + SIDE / 2, "mean loss (nats per sample)",
    { anchor = "middle", fill = GREY, turn = -90 })
end

local function map(canvas, left, plane)
  local at, levels, form = plane.at, levels_of(plane)
  local range = { at[1], at[#at] }
  local x_of, y_of = panel(canvas, { left = left, title = "On the plane of directions 1 and 2",
    x_label = "multiple of direction 1", y_label = "multiple of direction 2", x = range,
    y = range })
  local function place(column, row)
    return x_of(at[column]), y_of(at[row])
  end
  for k = 0, #levels do
    local polygons = contour.above(plane.loss, levels[k] or -math.huge, place)
    local d = {}
    for i, polygon in ipairs(polygons) do
      d[i] = svg.path(polygon, true)
    end
    canvas:draw("path", { d = table.concat(d), fill = colour(#levels > 0 and k / #levels or 0) })
  end
  local d = {}
  for _, level in ipairs(levels) do
    for _, line in ipairs(select(2, contour.above(plane.loss, level, place))) do
      d[#d + 1] = svg.path(line)
    end
  end
  canvas:draw("path", { d = table.concat(d), stroke = "#ffffff", stroke_opacity = "0.5",
    stroke_width = 0.8, fill = "none" })
  canvas:draw("circle", { cx = x_of(0), cy = y_of(0), r = 3.5, fill = "#ffffff", stroke = INK })
  frame(canvas, left)
  colour_bar(canvas, left + SIDE + 20, levels, form)
end

--- Draws what was found.
-- @tparam table r see report.lua
-- @tparam table words title, subtitle
-- @treturn string SVG
function M.draw(r, words)
  local canvas = svg.new(WIDTH, HEIGHT)
  canvas:draw("rect", { width = WIDTH, height = HEIGHT, fill = "#ffffff" })
  canvas:text(70, 32, words.title, { size = 16, weight = "600", fill = INK })
  canvas:text(70, 52, words.subtitle, { size = 12, fill = GREY })
  curves(canvas, 70, "Along the gradient", "distance from the model, uphill to the right",
    { r.gradient })
  curves(canvas, 430, "Along random directions", "multiple of the filter-normalised direction",
    r.random)
  map(canvas, 780, r.plane)
  return canvas:finish()
end

return M
