--- Tensors over parameters of the model's vectors: what layers and loaders work on. Methods of
-- fsam.params.
local errors = require("fsam.errors")
local storage = require("fsam.vector.storage")
require("fsam.base.source_line").own()

local Params = {}

--- A parameter by name, or itself.
-- @raise when there is none of that name, with the nearest
function Params:parameter(entry)
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

-- -- tensors -------------------------------------------------------------------------------

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

--- A view of a named thing's memory as it is: what waits is not run.
function Params:view(vector, entry, shape)
  if rawequal(vector, self.c) then
    return self:weight(entry, shape)
  end
  return view(self, vector.raw, 0, entry, shape)
end

--- A parameter (or neighbours, given a shape) of the working copy, in its compute type.
-- @treturn cdata|nil tensor; nil when neighbours do not follow each other without a gap
function Params:weight(entry, shape)
  local first = self:parameter(type(entry) == "table" and not entry.name and entry[1] or entry)
  if self.c_rest and first.compute == "f32" then
    return view(self, self.c_rest, self.act, entry, shape)
  end
  return view(self, self.c_act, 0, entry, shape)
end

--- A parameter of the master weights, f32.
function Params:master(entry, shape)
  return view(self, self.w.raw, 0, entry, shape)
end

--- A parameter of a gradient vector, f32: always the same tensor for the same parameter, so that
-- its `filled` says whether this pass has written it.
-- @tparam[opt] table into a vector; g without it
function Params:grad(entry, into, shape)
  into = into or self.g
  local views = self.views[into.name]
  if not views then
    views = {}
    self.views[into.name] = views
  end
  if type(entry) == "table" and not entry.name then
    local names = table.concat({ tostring(entry[1].name or entry[1]), #entry }, "+")
    views[names] = views[names] or view(self, into.raw, 0, entry, shape)
    return views[names]
  end
  local name = type(entry) == "table" and entry.name or entry
  views[name] = views[name] or view(self, into.raw, 0, entry, shape)
  return views[name]
end

--- c ← round(w) for every parameter, at once. After weights were loaded.
function Params:sync()
  if self.c_rest then
    local rest = self.total - self.act
    if self.act > 0 then
      self.c_act:copy(self.w.raw:view({ self.act }, 0))
    end
    if rest > 0 then
      self.c_rest:copy(self.w.raw:view({ rest }, self.act))
    end
  else
    self.c_act:copy(self.w.raw)
  end
  storage.touch(self.c, "params:sync")
end

return Params
