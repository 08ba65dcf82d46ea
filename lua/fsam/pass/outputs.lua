--- The outputs of a pass: per-sample losses and logits, which the device copies to the host beside
-- its other work. Reading them waits for their own pass, not for later work. Losses, their mean and
-- hits are those of all ranks that made the pass together; the first look at each is a collective
-- of theirs (fsam.ranks). Logits are this rank's.
local argmax = require("fsam.base.argmax")

local Outputs = {}
Outputs.__index = Outputs

--- @tparam integer samples how many samples the pass has, on all ranks
-- @tparam table ranks who made the pass together (fsam.ranks)
function Outputs.new(samples, ranks)
  return setmetatable({ samples = samples, ranks = ranks, parts = {} }, Outputs)
end

--- Adds a micro-batch: its host batch, losses [B] and logits [B,C] (capacities), as Tensor.later.
function Outputs:add(host, losses, logits)
  self.parts[#self.parts + 1] = { host = host, losses = losses, logits = logits }
end

-- Losses and ordinals of all ranks' samples, in batch order. With several ranks that is the order
-- of ordinals.
local function look(self)
  local losses, ordinals, places = {}, {}, {}
  for _, part in ipairs(self.parts) do
    local values = part.losses:to_host()
    for i = 0, part.host.count - 1 do
      losses[#losses + 1], ordinals[#ordinals + 1] = values[i], part.host.ordinals[i]
    end
  end
  if self.ranks.size > 1 then
    local all, numbers = self.ranks:gather(losses), self.ranks:gather(ordinals)
    losses, ordinals = {}, {}
    for i in ipairs(all) do
      places[i] = i
    end
    table.sort(places, function(a, b) return numbers[a] < numbers[b] end)
    for i, place in ipairs(places) do
      losses[i], ordinals[i] = all[place], numbers[place]
    end
  end
  self.loss_list, self.ordinal_list = losses, ordinals
end

--- Loss of each sample, in batch order.
function Outputs:losses()
  if not self.loss_list then
    look(self)
  end
  return self.loss_list
end

--- The ordinals of the samples, in the order of losses().
function Outputs:ordinals()
  if not self.ordinal_list then
    look(self)
  end
  return self.ordinal_list
end

--- Mean loss over the samples; 0 when a rank alone has none.
function Outputs:mean()
  if self.samples == 0 then
    return 0
  end
  local sum = 0
  for _, loss in ipairs(self:losses()) do
    sum = sum + loss
  end
  return sum / self.samples
end

--- Logits of each of this rank's samples: a list of tables.
function Outputs:logits()
  local list = {}
  for _, part in ipairs(self.parts) do
    local values, classes = part.logits:to_host(), part.logits:dims()[2]
    for i = 0, part.host.count - 1 do
      local row = {}
      for c = 1, classes do
        row[c] = values[i * classes + c - 1]
      end
      list[#list + 1] = row
    end
  end
  return list
end

-- How many of this rank's samples have their label as the largest logit; nil for regression.
local function own_hits(self)
  local hits, k, logits = 0, 0, self:logits()
  for _, part in ipairs(self.parts) do
    if not part.host.labels then
      return nil
    end
    for i = 0, part.host.count - 1 do
      k = k + 1
      hits = hits + (argmax(logits[k]) == part.host.labels[i] + 1 and 1 or 0)
    end
  end
  return hits
end

--- How many samples have their label as the largest logit; nil for regression.
function Outputs:correct()
  if self.hits == nil then
    local own = own_hits(self)
    -- A rank without samples cannot tell regression from no hits, so the others decide.
    local sums = self.ranks:sum_numbers({ own or 0, own and 0 or 1 })
    self.hits = sums[2] == 0 and sums[1]
  end
  return self.hits or nil
end

return Outputs
