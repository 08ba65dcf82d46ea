--- Which tensors of a file are which parameters of a model, and what may be missing.
--
-- Owns: the rules between the two, which are how names vary between versions, which tensors belong
-- to other heads, which parts may start new, and that everything else must fit. Leaves to others:
-- the names (fsam.models.families), the tensors (fsam.formats).
local errors = require("fsam.errors")
local header = require("fsam.formats.safetensors.header")
local registry = require("fsam.base.registry")

local M = {}

local function matches(name, patterns)
  for _, pattern in ipairs(patterns) do
    if name:find(pattern) then
      return true
    end
  end
  return false
end

-- What programs put before all names of a model that they hold in another one: DataParallel,
-- torch.compile, and modules of users and of Lightning.
local WRAPPERS = { "module.", "_orig_mod.", "model." }

-- How many bytes of wrappers stand before every name of a file.
local function wrapped(names)
  local cut = 0
  local function all_begin_with(wrapper)
    for _, name in ipairs(names) do
      if name:sub(cut + 1, cut + #wrapper) ~= wrapper then
        return false
      end
    end
    return names[1] ~= nil
  end
  local again = true
  while again do
    again = false
    for _, wrapper in ipairs(WRAPPERS) do
      if all_begin_with(wrapper) then
        cut, again = cut + #wrapper, true
      end
    end
  end
  return cut
end

-- Our name for a tensor: with the family's prefix, and with `weight` and `bias` where old files
-- have `gamma` and `beta`.
local function canonical(name, family)
  name = name:gsub("LayerNorm%.gamma$", "LayerNorm.weight"):gsub("LayerNorm%.beta$",
    "LayerNorm.bias")
  return matches(name, family.bare) and family.prefix .. name or name
end

-- A tensor that shares its memory with another is written once; __metadata__ says under which name:
-- name that was left out → name that is there (safetensors.torch.save_model).
local function add_aliases(tensors, family, found)
  for alias, name in pairs(tensors.metadata or {}) do
    local ours = type(alias) == "string" and canonical(alias, family)
    local entry = type(name) == "string" and tensors:find(name)
    if ours and entry and not found[ours] and not matches(ours, family.ignored) then
      found[ours] = entry
    end
  end
end

-- Returns the file's tensors by our names, and the names of those that no classifier uses.
local function survey(tensors, family)
  local found, ignored, cut = {}, {}, wrapped(tensors.names)
  for _, name in ipairs(tensors.names) do
    local ours = canonical(name:sub(cut + 1), family)
    if matches(ours, family.ignored) then
      ignored[#ignored + 1] = header.printable(name)
    elseif found[ours] then
      errors.raise("%s holds tensor %s twice, as %s and as %s", tensors.path, ours,
        found[ours].name, header.printable(name))
    else
      found[ours] = tensors:get(name)
    end
  end
  add_aliases(tensors, family, found)
  return found, ignored
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
    if not registry.same(entry.shape, parameter.shape) then
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

-- Do both lists hold the same names? Returns the place of each name of `wanted` in `given`, and
-- whether all of them stand where they are wanted; nil when the names differ. Case does not count.
local function places(given, wanted)
  local at, order, same = {}, {}, #given == #wanted
  for i, name in ipairs(given) do
    same = same and at[name:lower()] == nil
    at[name:lower()] = i
  end
  local in_order = true
  for i, name in ipairs(wanted) do
    order[i] = at[name:lower()]
    if not same or not order[i] then
      return nil
    end
    in_order = in_order and order[i] == i
  end
  return order, in_order
end

-- Do these names only number the labels: LABEL_0 or 0, LABEL_1 or 1, …?
local function are_numbers(labels)
  for i, name in ipairs(labels) do
    if name ~= "LABEL_" .. (i - 1) and name ~= tostring(i - 1) then
      return false
    end
  end
  return true
end

local Plan = {}
Plan.__index = Plan

-- Settles which row of the file's head is which label of the model: by their names, as a model
-- whose labels stand in another order is the same model. Other names are taken in their order,
-- which the plan's `remark` says unless they only number.
local function order_labels(plan, config, labels, has_head)
  if not (has_head and labels) then
    return
  end
  local order, in_order = places(config.labels, labels)
  if order and not in_order then
    plan.order = order
  elseif not order and not are_numbers(config.labels) then
    plan.remark = ("the file's labels are %s; they are taken for %s, in this order"):format(
      table.concat(config.labels, ", "), table.concat(labels, ", "))
  end
end

--- Finds a model's parameters in a file, and checks everything. No value is read.
--
-- The head starts new when the file has none, or one for another task or number of labels. A pooler
-- starts new when the file has none. Any other missing tensor is an error.
-- @tparam table tensors of a source (fsam.formats)
-- @tparam table config the file's own (fsam.models.config)
-- @tparam {table,…} parameters of the whole model: name, shape, and the part ("head", "pooler") of
--   one that may start new (see fsam.models.declaration)
-- @tparam[opt] {string,…} labels of the model where it is a classifier; default: the file's
-- @treturn table plan: `fresh` (list of parameters that are not in the file), `reasons` (list of
--   texts, one for each part that starts new), `remark` (a sentence about labels, or nil),
--   `unexpected` and `ignored` (lists of names in the file)
-- @raise one line that names the tensors that are missing or do not fit
function M.plan(tensors, config, parameters, labels)
  local found, ignored = survey(tensors, config.family)
  local parts, new_head = split(parameters), nil
  local plan = setmetatable({ fresh = {}, reasons = {}, unexpected = {}, ignored = ignored,
    wanted = {}, entries = found, output = config.family.output }, Plan)
  append(plan.wanted, parts.body)
  for _, part in ipairs({ "pooler", "head" }) do
    local list = parts[part]
    local reason = #list > 0 and why_fresh(tensors, config, found, list, part == "head")
    append(reason and plan.fresh or plan.wanted, list)
    if reason then
      plan.reasons[#plan.reasons + 1] = ("new %s: %s"):format(part, reason)
      new_head = part == "head" or new_head
    end
  end
  check_all(tensors, found, plan.wanted)
  order_labels(plan, config, labels, not new_head and #parts.head > 0)
  local used = {}
  for _, parameter in ipairs(parameters) do
    used[parameter.name] = true
  end
  for name, entry in pairs(found) do
    if not used[name] then
      plan.unexpected[#plan.unexpected + 1] = header.printable(entry.name)
    end
  end
  table.sort(plan.unexpected)
  return plan
end

-- Is this the matrix whose rows are the labels, or its bias?
local function is_output(plan, name)
  return name == plan.output or name == plan.output:gsub("%.weight$", ".bias")
end

-- Puts the rows of a matrix or vector in another order: row i is what row order[i] was.
local function reorder(tensor, order)
  local old, new = tensor:read(), {}
  local width = #old / #order
  for i, row in ipairs(order) do
    for k = 1, width do
      new[(i - 1) * width + k] = old[(row - 1) * width + k]
    end
  end
  tensor:write(new)
end

--- Copies the values.
-- @tparam function target called as target(parameter) for each that is in the file; returns its
--   fsam_tensor, f32
-- @raise one line that names the tensor, when a number in it is infinite or NaN
function Plan:copy(target)
  for _, parameter in ipairs(self.wanted) do
    local tensor, entry = target(parameter), self.entries[parameter.name]
    local broken = entry:read_tensor(tensor)
    if broken > 0 then
      errors.raise("%s: %d of the %d numbers of tensor %s are infinite or not numbers; a model "
        .. "cannot start from them, so take another checkpoint", entry.source.path, broken,
        entry.elements, header.printable(entry.name))
    end
    if self.order and is_output(self, parameter.name) then
      reorder(tensor, self.order)
    end
  end
end

return M
