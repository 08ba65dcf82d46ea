--- Values as text for people: one line each, and tables of parameters.
--
-- Owns: the wording. It calls the values' own methods. Outside a step, printing a value computes
-- it; inside a step nothing runs because of a message.
local code = require("fsam.vector.instructions")
require("fsam.base.source_line").own()

local M = {}

local NOUN = { [code.SCALAR] = "scalar", [code.ROW] = "row", [code.VECTOR] = "vector" }

--- 4413442 → "4.4 M".
local function amount(n)
  if n >= 1e6 then
    return ("%.1f M"):format(n / 1e6)
  elseif n >= 1e4 then
    return ("%.1f k"):format(n / 1e3)
  end
  return ("%d"):format(n)
end
M.amount = amount

--- An expression in one line.
function M.expression(x)
  local rank = x.kind % code.BOOL
  if x.params.queue:is_in_step() then
    return ("%s expression (not computed yet)"):format(NOUN[rank])
  elseif rank == code.SCALAR then
    return ("%.9g"):format(x:read())
  elseif rank == code.ROW then
    return ("row of %d parameters"):format(#x.params.parameters)
  elseif x.kind >= code.BOOL then
    local size, count = amount(x.params.trainable), amount(x:sum():read())
    return ("condition on %s, true for %s"):format(size, count)
  end
  return ("vector expression, norm %.5g"):format(x:norm():read())
end

--- A named thing in one line.
function M.storage(self)
  local params = self.params
  local in_step = params.queue:is_in_step()
  local head = self.name .. ": "
  if self.class == code.CELLS then
    return head .. (in_step and "scalar" or ("%.9g"):format(self:read()))
  elseif self.class == code.BITS then
    head = head .. "mask of " .. amount(params.trainable) .. " bits"
    return in_step and head or ("%s, %.2f %% set"):format(head, 100 * self:density())
  end
  head = head .. amount(params.count) .. " " .. (self.class == code.ACT and "bf16 and f32" or "f32")
  return in_step and head or ("%s, norm %.5g"):format(head, self:norm():read())
end

local function table_of(columns, rows)
  local widths, lines = {}, {}
  for _, row in ipairs({ columns, unpack(rows) }) do
    for i, cell in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, #cell)
    end
  end
  for _, row in ipairs({ columns, unpack(rows) }) do
    local cells = {}
    for i, cell in ipairs(row) do
      local pad = (" "):rep(widths[i] - #cell)
      cells[i] = i == 1 and cell .. pad or pad .. cell
    end
    lines[#lines + 1] = (table.concat(cells, "  "):gsub("%s+$", ""))
  end
  return table.concat(lines, "\n")
end

-- "embeddings", "layer 0", …, "head" for the numbers that parameters.lua gives: -1, 0, …, one past
-- the last.
local function layer_name(params, layer)
  local last = params.parameters[#params.parameters].layer
  for _, parameter in ipairs(params.parameters) do
    last = math.max(last, parameter.layer)
  end
  return layer < 0 and "embeddings" or layer == last and "head" or "layer " .. layer
end

-- A row's values: one line a layer if the parameters of each layer have the same, else one a
-- parameter.
local function show_row(x)
  local params, values = x.params, x:read()
  local by_layer, layers, uniform = {}, {}, true
  for i, parameter in ipairs(params.parameters) do
    local known = by_layer[parameter.layer]
    uniform = uniform and (known == nil or known == values[i])
    if known == nil then
      by_layer[parameter.layer], layers[#layers + 1] = values[i], parameter.layer
    end
  end
  local rows = {}
  if uniform then
    table.sort(layers)
    for i, layer in ipairs(layers) do
      rows[i] = { layer_name(params, layer), ("%.5g"):format(by_layer[layer]) }
    end
  else
    for i, parameter in ipairs(params.parameters) do
      rows[i] = { parameter.name, ("%.5g"):format(values[i]) }
    end
  end
  return table_of({ uniform and "layer" or "parameter", "value" }, rows)
end

--- An expression as the REPL prints it: rows whole, all else in a line.
function M.whole(x)
  if x.kind % code.BOOL == code.ROW and not x.params.queue:is_in_step() then
    return show_row(x)
  end
  return M.expression(x)
end

--- A table of parameters: shape, norm and largest magnitude, or of a mask the share of set bits.
-- @treturn string several lines
function M.parameters(self)
  local params, rows = self.params, {}
  local mask = self.class == code.BITS
  local norms, largest, shares
  if mask then
    shares = select(2, self:density())
  elseif self.class ~= code.CELLS then
    norms, largest = self:per("tensor"):norm():request(), self:per("tensor"):max_abs():request()
    norms, largest = norms:read(), largest:read()
  else
    return tostring(self)
  end
  for i, parameter in ipairs(params.parameters) do
    rows[i] = { parameter.name, table.concat(parameter.shape, " x ") }
    if mask then
      rows[i][3] = ("%.2f %%"):format(100 * shares[parameter.name])
    else
      rows[i][3], rows[i][4] = ("%.5g"):format(norms[i]), ("%.5g"):format(largest[i])
    end
  end
  local head = mask and { "parameter", "shape", "set" } or { "parameter", "shape", "norm", "max" }
  return tostring(self) .. "\n" .. table_of(head, rows)
end

return M
