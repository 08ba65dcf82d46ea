--- Scalable vector graphics: elements as text, in the order in which they are drawn. Numbers have
-- two decimals and attributes are sorted, so the same picture is the same bytes.

local M = {}

local Canvas = {}
Canvas.__index = Canvas

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local function escape(text)
  return (text:gsub('[&<>"]', ESCAPES))
end

--- A number as short as two decimals allow.
function M.number(x)
  local text = ("%.2f"):format(x):gsub("0+$", ""):gsub("%.$", "")
  return text == "-0" and "0" or text
end

--- An empty picture.
-- @tparam number width in pixels
-- @tparam number height
function M.new(width, height)
  return setmetatable({ width = width, height = height, parts = {} }, Canvas)
end

--- Draws an element.
-- @tparam string name "rect", "path", …
-- @tparam table attributes name → number or text; an underscore in a name is a dash
-- @tparam[opt] string text what is inside
function Canvas:draw(name, attributes, text)
  local words = {}
  for key, value in pairs(attributes) do
    words[#words + 1] = ('%s="%s"'):format(key:gsub("_", "-"),
      type(value) == "number" and M.number(value) or escape(value))
  end
  table.sort(words)
  self.parts[#self.parts + 1] = ("<%s %s%s"):format(name, table.concat(words, " "),
    text and (">%s</%s>"):format(escape(text), name) or "/>")
end

--- Text at a place.
-- @tparam table o size, anchor ("start", "middle", "end"), fill, weight, turn (degrees)
function Canvas:text(x, y, text, o)
  self:draw("text", {
    x = x, y = y, font_size = o.size or 11, text_anchor = o.anchor or "start",
    fill = o.fill or "#333333", font_weight = o.weight or "normal",
    transform = o.turn and ("rotate(%s %s %s)"):format(M.number(o.turn), M.number(x), M.number(y))
      or nil,
  }, text)
end

--- The "d" of a path through points.
-- @tparam table points { x, y } each
-- @tparam[opt] boolean closed
function M.path(points, closed)
  local words = {}
  for i, p in ipairs(points) do
    words[i] = (i == 1 and "M" or "L") .. M.number(p[1]) .. " " .. M.number(p[2])
  end
  return table.concat(words) .. (closed and "Z" or "")
end

--- The file's text.
function Canvas:finish()
  return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
    .. 'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif">\n%s\n</svg>\n')
    :format(self.width, self.height, self.width, self.height, table.concat(self.parts, "\n"))
end

return M
