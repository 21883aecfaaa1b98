import { testProxy } from './suite.ts'

testProxy('h2o', { refusal: 'after the upload', isUploadStreamed: false, hasPaths: true, hasTls: true })
