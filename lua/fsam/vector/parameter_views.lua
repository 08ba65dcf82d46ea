--- Views of single parameters: tensors in a model's vectors. These are methods of
-- fsam.vector.params, which takes them all.
--
-- Owns: finding a parameter, and where its elements lie in each vector. Leaves to others: the
-- vectors and their memory (params.lua).
local errors = require("fsam.errors")
local working_copy = require("fsam.vector.working_copy")

local M = {}

--- The parameter of a name; given a parameter, the same.
-- @raise when there is none of that name, with the nearest
function M:parameter(entry)
  if type(entry) == "table" and rawequal(self.by_name[entry.name], entry) then
    return entry
  end
  local parameter = self.by_name[entry]
  if not parameter then
    local names = {}
    for i, other in ipairs(self.parameters) do
      names[i] = other.name
    end
    local near = errors.nearest(tostring(entry), names)
    errors.raise("there is no parameter %s%s", tostring(entry),
      near and "; did you mean " .. near .. "?" or "")
  end
  return parameter
end

-- A tensor over one parameter, or over neighbours that leave no gap (else nil).
local function view(self, memory, from, entry, shape)
  if type(entry) == "table" and not entry.name then
    local first, last = self:parameter(entry[1]), nil
    for _, other in ipairs(entry) do
      other = self:parameter(other)
      if last and last.offset + last.count ~= other.offset then
        return nil
      end
      last = other
    end
    return memory:view(shape, first.offset - from, first.name)
  end
  local parameter = self:parameter(entry)
  return memory:view(shape or parameter.shape, parameter.offset - from, parameter.name)
end

--- All of a named thing: its memory, or where ranks hold shares, a copy that they gather
-- (share.lua).
function M:whole(vector)
  working_copy.settle(self)
  if not self.share or rawequal(vector, self.c) then
    return vector.raw
  end
  return self.share:gather(vector)
end

--- A view of a named thing's memory. Waiting sets do not run. Where ranks hold shares, of the copy
-- that they gather.
function M:view(vector, entry, shape)
  if rawequal(vector, self.c) then
    return self:weight(entry, shape)
  end
  return view(self, self:whole(vector), 0, entry, shape)
end

--- A parameter (or neighbours, given a shape) of the working copy, in its compute type.
-- @treturn cdata|nil tensor; nil when neighbours do not follow each other without a gap
function M:weight(entry, shape)
  working_copy.settle(self)
  local first = self:parameter(type(entry) == "table" and not entry.name and entry[1] or entry)
  if self.c_rest and first.compute == "f32" then
    return view(self, self.c_rest, self.act, entry, shape)
  end
  return view(self, self.c_act, 0, entry, shape)
end

--- A parameter of the master weights, f32. Where ranks hold shares, a place in their exchange:
-- w is there after `w:tensor()`, and what is written there becomes w with `loaded`.
function M:master(entry, shape)
  return view(self, self.share and self.share.exchange or self.w.raw, 0, entry, shape)
end

--- A parameter of a gradient vector, f32: always the same tensor for the same parameter, so that a
-- pass can keep its state in `filled` (fsam.pass.gradients). Where ranks hold shares, all of them
-- are in their exchange, and fsam.ranks' `sum` brings them to `into`.
-- @tparam[opt] table into a vector; g without it
function M:grad(entry, into, shape)
  into = into or self.g
  local memory = self.share and self.share.exchange or into.raw
  local views = self.views[into.name]
  if not views then
    views = {}
    self.views[into.name] = views
  end
  if type(entry) == "table" and not entry.name then
    local names = table.concat({ tostring(entry[1].name or entry[1]), #entry }, "+")
    views[names] = views[names] or view(self, memory, 0, entry, shape)
    return views[names]
  end
  local name = type(entry) == "table" and entry.name or entry
  views[name] = views[name] or view(self, memory, 0, entry, shape)
  return views[name]
end

return M
