--- XLM-R (Conneau et al. 2020) with the classifier of Transformers'
-- XLMRobertaForSequenceClassification: RoBERTa, its names in files too, with another vocabulary.
local families = require("fsam.models.families")

local family = {}
for part, value in pairs(families.get("roberta")) do
  family[part] = value
end
family.class = "XLMRobertaForSequenceClassification"
family.presets = {
  xlmr_base = { 12, 768, 3072, 12, 250002 },
  xlmr_large = { 24, 1024, 4096, 16, 250002 },
}

families.define("xlm-roberta", family)
