--- What a pass left behind: per-sample losses and logits, which the device copies to the host
-- beside its other work. Reading them waits for the pass that made them, not for what came later.
local Result = {}
Result.__index = Result

--- @tparam integer samples how many samples the pass has
function Result.new(samples)
  return setmetatable({ samples = samples, parts = {} }, Result)
end

--- Adds a micro-batch: its host batch, losses [B] and logits [B,C] (capacities), as Tensor.later.
function Result:add(host, losses, logits)
  self.parts[#self.parts + 1] = { host = host, losses = losses, logits = logits }
end

--- Loss of each sample, in batch order.
function Result:losses()
  if not self.loss_list then
    local list = {}
    for _, part in ipairs(self.parts) do
      local values = part.losses:to_host()
      for i = 0, part.host.count - 1 do
        list[#list + 1] = values[i]
      end
    end
    self.loss_list = list
  end
  return self.loss_list
end

--- The ordinals of the samples, in the order of losses().
function Result:ordinals()
  local list = {}
  for _, part in ipairs(self.parts) do
    for i = 0, part.host.count - 1 do
      list[#list + 1] = part.host.ordinals[i]
    end
  end
  return list
end

--- Mean loss over the samples.
function Result:mean()
  local sum = 0
  for _, loss in ipairs(self:losses()) do
    sum = sum + loss
  end
  return sum / self.samples
end

--- Logits of each sample: a list of tables.
function Result:logits()
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

--- How many samples have their label as the largest logit; nil for regression.
function Result:correct()
  local correct, k, logits = 0, 0, self:logits()
  for _, part in ipairs(self.parts) do
    if not part.host.labels then
      return nil
    end
    for i = 0, part.host.count - 1 do
      k = k + 1
      local row, best = logits[k], 1
      for c = 2, #row do
        best = row[c] > row[best] and c or best
      end
      correct = correct + (best - 1 == part.host.labels[i] and 1 or 0)
    end
  end
  return correct
end

return Result
