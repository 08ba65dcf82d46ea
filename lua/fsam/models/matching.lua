--- Which tensors of a file are which parameters of a model, and what may be missing.
--
-- Owns: the rules between the two, which are how names vary between versions, which tensors belong
-- to other heads, which parts may start new, and that everything else must fit. Leaves to others:
-- the names (fsam.models.families), the tensors (fsam.formats).
local errors = require("fsam.errors")
local header = require("fsam.formats.safetensors.header")

local M = {}

local function matches(name, patterns)
  for _, pattern in ipairs(patterns) do
    if name:find(pattern) then
      return true
    end
  end
  return false
end

-- Our name for a tensor: with the family's prefix, and with `weight` and `bias` where old files
-- have `gamma` and `beta`.
local function canonical(name, family)
  name = name:gsub("LayerNorm%.gamma$", "LayerNorm.weight"):gsub("LayerNorm%.beta$",
    "LayerNorm.bias")
  return matches(name, family.bare) and family.prefix .. name or name
end

-- Returns the file's tensors by our names, and the names of those that no classifier uses.
local function survey(tensors, family)
  local found, ignored = {}, {}
  for _, name in ipairs(tensors.names) do
    local ours = canonical(name, family)
    if matches(ours, family.ignored) then
      ignored[#ignored + 1] = header.printable(name)
    elseif found[ours] then
      errors.raise("%s holds tensor %s twice, as %s and as %s", tensors.path, ours,
        found[ours].name, header.printable(name))
    else
      found[ours] = tensors:get(name)
    end
  end
  return found, ignored
end

local function same_shape(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then
      return false
    end
  end
  return true
end

-- Is the file's head for the number of labels in its configuration, and the model's for another
-- one?
local function other_labels(config, found, part)
  for _, parameter in ipairs(part) do
    if parameter.name == config.family.output then
      local rows = found[parameter.name].shape[1]
      return rows == config.num_labels and rows ~= parameter.shape[1]
    end
  end
  return false
end

-- The reason why a part of the model starts new; nil when the file has all of it.
local function why_fresh(tensors, config, found, part, is_head)
  local missing, present
  for _, parameter in ipairs(part) do
    if found[parameter.name] then
      present = true
    else
      missing = missing or parameter.name
    end
  end
  local class = config.architecture
  if not present then
    return "the file has none"
  elseif is_head and class and not class:find("ForSequenceClassification$") then
    return "the file's is for another task (" .. header.printable(class) .. ")"
  elseif missing then
    errors.raise("%s: tensor %s is missing, though others of its part are there", tensors.path,
      missing)
  elseif is_head and other_labels(config, found, part) then
    return ("the file's is for %d label%s"):format(config.num_labels,
      config.num_labels == 1 and "" or "s")
  end
  return nil
end

-- Raises unless each wanted parameter is there, of a float type and of the model's shape.
local function check_all(tensors, found, wanted)
  local missing = {}
  for _, parameter in ipairs(wanted) do
    if not found[parameter.name] then
      missing[#missing + 1] = parameter.name
    end
  end
  if #missing > 0 then
    errors.raise("%s lacks %d tensor%s: %s%s", tensors.path, #missing, #missing == 1 and "" or "s",
      table.concat(missing, ", ", 1, math.min(#missing, 5)), #missing > 5 and ", ..." or "")
  end
  for _, parameter in ipairs(wanted) do
    local entry = found[parameter.name]
    if not same_shape(entry.shape, parameter.shape) then
      errors.raise("%s: tensor %s is %s, config.json asks for %s", tensors.path,
        header.printable(entry.name), header.shape_text(entry.shape),
        header.shape_text(parameter.shape))
    elseif not entry:is_float() then
      errors.raise("%s: tensor %s is %s, expected F32, F16, BF16 or F64", tensors.path,
        header.printable(entry.name), entry.dtype)
    end
  end
end

-- The wanted parameters by part: the head, the pooler, and the rest.
local function split(parameters)
  local parts = { head = {}, pooler = {}, body = {} }
  for _, parameter in ipairs(parameters) do
    table.insert(parts[parameter.part or "body"], parameter)
  end
  return parts
end

local function append(list, more)
  for _, item in ipairs(more) do
    list[#list + 1] = item
  end
end

--- Gives a model its parameters from a file. Everything is checked before the first is copied.
--
-- The head starts new when the file has none, or one for another task or number of labels. A pooler
-- starts new when the file has none. Any other missing tensor is an error.
-- @tparam table tensors of a source (fsam.formats)
-- @tparam table config the file's own (fsam.models.config)
-- @tparam {table,…} parameters of the whole model: name, shape, and the part ("head", "pooler") of
--   one that may start new (see fsam.models.declaration)
-- @tparam function copy called as copy(parameter, entry); entry is one of formats/safetensors
-- @treturn table `fresh` (list of parameters that were not copied), `reasons` (list of texts, one
--   for each part that starts new), `unexpected` and `ignored` (lists of names in the file)
-- @raise one line that names the tensors that are missing or do not fit
function M.assign(tensors, config, parameters, copy)
  local found, ignored = survey(tensors, config.family)
  local parts = split(parameters)
  local report = { fresh = {}, reasons = {}, unexpected = {}, ignored = ignored }
  local wanted = {}
  append(wanted, parts.body)
  for _, part in ipairs({ "pooler", "head" }) do
    local list = parts[part]
    local reason = #list > 0 and why_fresh(tensors, config, found, list, part == "head")
    append(reason and report.fresh or wanted, list)
    if reason then
      report.reasons[#report.reasons + 1] = ("new %s: %s"):format(part, reason)
    end
  end
  check_all(tensors, found, wanted)
  for _, parameter in ipairs(wanted) do
    copy(parameter, found[parameter.name])
  end
  for _, parameter in ipairs(parameters) do
    found[parameter.name] = nil
  end
  for _, entry in pairs(found) do
    report.unexpected[#report.unexpected + 1] = header.printable(entry.name)
  end
  table.sort(report.unexpected)
  return report
end

return M
